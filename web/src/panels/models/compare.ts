/** Two models side by side: every setting, count and metric of either. */
import type { Interval, ModelEntry } from "../../api/types";

export interface Comparison {
  group: string;
  name: string;
  first: string;
  second: string;
  same: boolean;
}

const GROUPS = ["training", "settings", "metrics", "counts"] as const;
const NOTHING = "—";

/** One row a value that either model has, groups in their order, names by the alphabet. */
export function compare(first: ModelEntry, second: ModelEntry): Comparison[] {
  const size = [row("model", "customers", first.users, second.users), row("model", "products", first.items, second.items)];
  return [...size, ...GROUPS.flatMap((group) => compareGroup(group, flat(first[group]), flat(second[group])))];
}

function compareGroup(group: string, first: Map<string, unknown>, second: Map<string, unknown>): Comparison[] {
  const names = [...new Set([...first.keys(), ...second.keys()])].sort();
  return names.map((name) => row(group, name, first.get(name), second.get(name)));
}

function row(group: string, name: string, first: unknown, second: unknown): Comparison {
  const [a, b] = [text(first), text(second)];
  return { group, name, first: a, second: b, same: a === b };
}

/** `{offsets: {0: 5}}` → `offsets 0` = 5. */
function flat(values: Record<string, unknown>, above = ""): Map<string, unknown> {
  const found = new Map<string, unknown>();
  for (const [key, value] of Object.entries(values)) {
    const name = `${above}${key.replaceAll("_", " ")}`;
    if (isRecord(value)) for (const [inner, deep] of flat(value, `${name} `)) found.set(inner, deep);
    else found.set(name, value);
  }
  return found;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const number = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 6 });

/** A value as it is shown. Whole numbers keep all their digits: a seed is not rounded. */
export function text(value: unknown): string {
  if (value === null || value === undefined) return NOTHING;
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : number.format(value);
  if (isInterval(value)) return `${text(value[0])} (${text(value[1])} to ${text(value[2])})`;
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A value that lies between its bounds, as every metric of an evaluation does. */
function isInterval(value: unknown): value is Interval {
  if (!Array.isArray(value) || value.length !== 3 || !value.every((each) => typeof each === "number")) return false;
  const [middle, low, high] = value as Interval;
  return low <= middle && middle <= high;
}

export interface Quality {
  /** The share of known customers' orders with one of the three products shown; null where it was not measured. */
  hits: number | null;
  ndcg: number | null;
}

/** How good a model was on the newest purchases, before it was published. */
export function qualityOf({ metrics: { warm } }: Pick<ModelEntry, "metrics">): Quality {
  const figures = isRecord(warm) ? warm : {};
  const middle = (name: string): number | null => {
    const value = figures[name];
    return isInterval(value) ? value[0] : null;
  };
  return { hits: middle("hr@3"), ndcg: middle("ndcg@10") };
}
