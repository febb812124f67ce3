/** Which buckets late events have changed since the view was opened. */
import type { SalesBucket } from "../../api/types";
import { fromCents, toCents, type Money } from "../../format/money";

/** The first answer to a question, and when it came (epoch milliseconds). */
export interface Baseline {
  at: number;
  buckets: ReadonlyMap<string, SalesBucket>;
  /** The newest bucket was still filling, so its growth is no restatement. */
  newest: string | null;
}

export interface Restatement {
  bucket: string;
  revenue: Money;
  quantity: number;
}

/** Remembers the first answer of every question that was asked since the view was opened. */
export class Baselines {
  private readonly known = new Map<string, Baseline>();

  /** The first answer to the question; this one, where there was none before. */
  note(question: string, buckets: readonly SalesBucket[], at = Date.now()): Baseline {
    const known = this.known.get(question);
    if (known !== undefined) return known;
    const first = {
      at,
      buckets: new Map(buckets.map((bucket) => [bucket.bucket, bucket])),
      newest: buckets.at(-1)?.bucket ?? null,
    };
    this.known.set(question, first);
    return first;
  }
}

/** By how much each bucket has changed that was complete at first, oldest first. */
export function restatements({ buckets: before, newest }: Baseline, now: readonly SalesBucket[]): Restatement[] {
  if (newest === null) return [];
  const end = Date.parse(newest);
  return now
    .filter(({ bucket }) => Date.parse(bucket) < end)
    .map((bucket) => changed(before.get(bucket.bucket), bucket))
    .filter(({ revenue, quantity }) => revenue !== "0.00" || quantity !== 0);
}

function changed(before: SalesBucket | undefined, now: SalesBucket): Restatement {
  return {
    bucket: now.bucket,
    revenue: fromCents(toCents(now.revenue) - toCents(before?.revenue ?? "0.00")),
    quantity: now.quantity - (before?.quantity ?? 0),
  };
}
