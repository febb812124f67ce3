import { expect, it } from "vitest";
import type { ModelEntry } from "../../api/types";
import { compare, headline, metricsText, text } from "./compare";

const model = (version: string, given: Partial<ModelEntry>): ModelEntry => ({
  version,
  format_version: 2,
  live: false,
  created_at: null,
  algorithm: "als",
  rank: 8,
  users: 60,
  items: 80,
  training: {},
  settings: {},
  metrics: {},
  counts: {},
  composition: null,
  gate: null,
  ...given,
});

it("shows every value of either model and which differ", () => {
  const rows = compare(
    model("a", { settings: { rank: 8, seed: 20200424 }, metrics: { "ndcg@10": 0.12345678 } }),
    model("b", { settings: { rank: 16, seed: 20200424 }, counts: { rejected: { bad_time: 3 } } }),
  );
  expect(rows.map(({ group, name, first, second, same }) => [group, name, first, second, same])).toEqual([
    ["model", "customers", "60", "60", true],
    ["model", "products", "80", "80", true],
    ["settings", "rank", "8", "16", false],
    ["settings", "seed", "20200424", "20200424", true],
    ["metrics", "ndcg@10", "0.123457", "—", false],
    ["counts", "rejected bad time", "—", "3", false],
  ]);
});

it("shows a few of many metrics, those of what was bought first", () => {
  const many = { coverage: 0.3, novelty: 5, warm: { "hr@3": 0.04, "ndcg@10": 0.03 }, other: 1, others: 2 };
  expect(headline(many)).toEqual({ "warm hr@3": 0.04, "warm ndcg@10": 0.03 });
  expect(headline({ a: 1, b: 2, c: 3, d: 4, e: 5 })).toEqual({ a: 1, b: 2, c: 3, d: 4 });
});

it("writes values out", () => {
  expect(text(null)).toBe("—");
  expect(text([1, 2])).toBe("[1,2]");
  expect(metricsText({ hits: { at_3: 0.5 } })).toBe("hits at 3 0.5");
});
