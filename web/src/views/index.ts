// Which questions each view asks, in order; those the server does not know are left out.

export interface View {
  id: string;
  title: string;
  asks: string[];
}

export const VIEWS: View[] = [
  { id: "fit", title: "Fit", asks: ["fit"] },
  { id: "speed", title: "Speed", asks: ["estimate", "think"] },
  { id: "roofline", title: "Roofline", asks: ["roofline", "matmul"] },
  { id: "frontier", title: "Frontier", asks: ["frontier", "plan"] },
  { id: "requests", title: "Requests", asks: ["simulate", "capacity", "queue"] },
  { id: "training", title: "Training", asks: ["train", "fit_training", "scale", "trends"] },
  { id: "money", title: "Money", asks: ["price", "cache", "energy", "infer_price"] },
  { id: "retrieve", title: "Retrieve", asks: ["retrieve"] },
  { id: "fleet", title: "Fleet", asks: ["fleet", "demand", "rack"] },
  { id: "check", title: "Check a claim", asks: ["check", "diagnose"] },
  { id: "exercises", title: "Exercises", asks: ["exercise"] },
];
