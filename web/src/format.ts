// Numbers as a person reads them; the same rules as `ridgeline.quantity.format_si`, so that the
// page and the command line print the same text.

const STEPS: [number, string][] = [
  [1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""],
  [1e-3, "m"], [1e-6, "u"], [1e-9, "n"],
];
// Units that take no prefix: counts, money, and those that have one already.
const UNPREFIXED = ["", "1", "%", "USD", "USD/h", "USD/Mtok", "token", "token/s", "param", "x",
  "FLOP/B", "kg", "t", "MWh", "pJ", "days", "chip-h", "PFLOP/s-day"];
// What can be had in thousandths; there is no millibyte and no millirequest.
const DIVISIBLE = ["s", "J", "W", "Wh", "m", "g"];

function grouped(text: string): string {
  const [whole = "", part] = text.split(".");
  const split = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  return part === undefined ? split : `${split}.${part}`;
}

function general(value: number, digits: number): string {
  if (value === 0) return "0";
  const exponent = Number(value.toExponential(digits - 1).split("e")[1]);
  if (exponent < -4 || exponent >= digits) {
    const [head = "", tail = "0"] = value.toExponential(digits - 1).split("e");
    const short = head.includes(".") ? head.replace(/\.?0+$/, "") : head;
    const power = Math.abs(Number(tail)).toString().padStart(2, "0");
    return `${short}e${Number(tail) < 0 ? "-" : "+"}${power}`;
  }
  const fixed = value.toFixed(Math.max(0, digits - 1 - exponent));
  return fixed.includes(".") ? fixed.replace(/\.?0+$/, "") : fixed;
}

function plain(value: number, digits: number): string {
  const size = Math.abs(value);
  if (size >= 1e-4 && size < 10 ** digits) {
    const whole = size >= 1 ? Math.trunc(size).toString().length : 0;
    if (size >= 1) return value.toFixed(Math.max(0, digits - whole));
    return general(value, digits);
  }
  return size >= 1 && size < 1e9 ? grouped(value.toFixed(0)) : general(value, digits);
}

export function formatSI(value: number, unit: string, digits = 3): string {
  const rate = unit.startsWith("1/");
  const label = unit === "" || unit === "1" ? "" : rate ? unit.slice(1) : ` ${unit}`;
  if (!Number.isFinite(value)) {
    return value > 0 ? (unit === "s" ? "never" : "unlimited") : String(value);
  }
  if (value === 0) return `0${label}`;
  const size = Math.abs(value);
  if ((unit === "param" || unit === "token") && size >= 1 && size < 1e15) {
    return grouped(value.toFixed(0)) + label;
  }
  if (unit === "s" && size >= 1) {
    for (const [scale, name] of [[86400, "days"], [3600, "h"], [60, "min"]] as const) {
      if (size >= 2 * scale) return `${plain(value / scale, digits)} ${name}`;
    }
    return `${plain(value, digits)} s`;
  }
  const whole = UNPREFIXED.includes(unit) || rate;
  if ((whole && !(unit === "token/s" && size >= 1e7))
    || (size < 1 && !DIVISIBLE.includes(unit.split("/")[0] ?? ""))) {
    return plain(value, digits) + label;
  }
  if (size >= 1e21) return general(value, digits).replace("e+", "e") + label;
  for (const [scale, prefix] of STEPS) {
    if (size >= scale * (1 - 5e-10)) return `${plain(value / scale, digits)} ${prefix}${unit}`;
  }
  return general(value, digits) + label;
}

// As `ridgeline.cli.render` writes a number: whole counts in full.
export function formatNumber(value: number, unit: string): string {
  if (unit !== "" && unit !== "1") return formatSI(value, unit);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return grouped(String(value));
  return formatSI(value, unit, Math.abs(value) < 100 ? 3 : 5);
}

const ENDINGS: Record<string, string> = {
  s: "_s", B: "_bytes", FLOP: "_flop", USD: "_usd", W: "_w", J: "_j", "B/s": "_bytes_per_s",
  "FLOP/s": "_flop_per_s", "FLOP/B": "_flop_per_byte", "token/s": "_tokens_per_s",
  "USD/Mtok": "_usd_per_mtok", "%": "_pct", MWh: "_mwh", t: "_tonnes", kg: "_kg",
  "PFLOP/s-day": "_pf_days",
};
const CAPITALS: Record<string, string> = {
  ttft: "TTFT", tpot: "TPOT", itl: "ITL", e2e: "end to end", mfu: "MFU", mbu: "MBU", hfu: "HFU",
  kv: "KV", usd: "USD", mwh: "MWh", co2: "CO₂", flop: "FLOP", tp: "TP", pp: "PP", ep: "EP",
  dp: "DP", cp: "CP", gpu: "GPU", mtok: "Mtok", zero: "ZeRO", api: "API", slo: "SLO",
};

export function words(name: string): string {
  return name.split("_").map((part) => CAPITALS[part] ?? part).join(" ");
}

export function label(name: string, unit: string): string {
  const ending = ENDINGS[unit] ?? "";
  const cut = ending && name.endsWith(ending) ? name.slice(0, -ending.length) : name;
  return words(cut || name);
}

// "16k" or "2T" as a number; NaN where it is not one.
export function parseNumber(text: string): number {
  const match = /^\s*([-+]?[0-9][0-9_,]*\.?[0-9]*(?:e[-+]?[0-9]+)?)\s*([kKMGBTP]?)\s*$/i.exec(text);
  if (!match) return NaN;
  const scale: Record<string, number> = {
    "": 1, k: 1e3, K: 1e3, M: 1e6, G: 1e9, B: 1e9, T: 1e12, P: 1e15,
  };
  return Number((match[1] ?? "").replace(/[,_]/g, "")) * (scale[match[2] ?? ""] ?? 1);
}
