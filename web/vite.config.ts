import { defineConfig } from "vite";

// The page is served by `ridgeline web` from within the Python package, at "/".
export default defineConfig({
  build: {
    outDir: "../src/ridgeline/web/page",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
  server: { proxy: { "/api": "http://127.0.0.1:8421" } },
});
