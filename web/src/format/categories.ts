/** The tree of categories, from the codes' dots: `electronics.audio.headphone`. */
import type { TopEntry } from "../api/types";
import { approximate, fromCents, sumMoney, toCents, type Money } from "./money";
import { known } from "./product";

export interface CategoryNode {
  code: string;
  label: string;
  revenue: Money;
  quantity: number;
  /** Of the level's revenue; null where that is not above 0. */
  share: number | null;
  /** Whether there are categories below it. */
  deeper: boolean;
}

interface Sum {
  cents: bigint;
  quantity: number;
  deeper: boolean;
}

/** The categories right below one (null = the top ones), the biggest first. What it sells itself stands beside them. */
export function categoryLevel(all: readonly TopEntry[], within: string | null): CategoryNode[] {
  const sums = new Map<string, Sum>();
  for (const { id, revenue, quantity } of all) {
    const code = childWithin(id, within);
    if (code === null) continue;
    const sum = sums.get(code) ?? { cents: 0n, quantity: 0, deeper: false };
    sums.set(code, {
      cents: sum.cents + toCents(revenue),
      quantity: sum.quantity + quantity,
      deeper: sum.deeper || (id !== code && code !== within),
    });
  }
  const total = sumMoney([...sums.values()].map(({ cents }) => fromCents(cents)));
  return [...sums]
    .sort(([, a], [, b]) => (a.cents === b.cents ? 0 : a.cents > b.cents ? -1 : 1))
    .map(([code, { cents, quantity, deeper }]) => ({
      code,
      label: code === within ? "without a category below" : labelOf(code),
      revenue: fromCents(cents),
      quantity,
      share: toCents(total) > 0n ? approximate(fromCents(cents)) / approximate(total) : null,
      deeper,
    }));
}

function childWithin(code: string, within: string | null): string | null {
  if (within === null) return code.split(".", 1)[0] ?? code;
  if (code === within) return code;
  if (!code.startsWith(`${within}.`)) return null;
  const [next = ""] = code.slice(within.length + 1).split(".", 1);
  return `${within}.${next}`;
}

const labelOf = (code: string): string => (known(code)?.split(".").at(-1) ?? "unknown").replaceAll("_", " ");

/** `a.b.c` → a, a.b, a.b.c: the way from the top, each with its name. */
export function categoryTrail(code: string | null): { code: string; label: string }[] {
  const parts = code?.split(".") ?? [];
  return parts.map((_, index) => {
    const each = parts.slice(0, index + 1).join(".");
    return { code: each, label: labelOf(each) };
  });
}

/** Every category and every one above it, in the order of their codes; for a list to choose from. */
export function allCategories(top: readonly TopEntry[]): string[] {
  const codes = top.flatMap(({ id }) => categoryTrail(id).map(({ code }) => code));
  return [...new Set(codes)].sort();
}
