import { expect, it } from "vitest";
import type { ModelEntry } from "../../api/types";
import { compare, qualityOf, text } from "./compare";

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
  basket: null,
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

it("tells how good a model was with known customers, as far as that was measured", () => {
  const warm = { "hr@3": [0.04, 0.03, 0.05], "ndcg@10": [0.02, 0.01, 0.03] };
  expect(qualityOf({ metrics: { protocol: "rolling", warm } })).toEqual({ hits: 0.04, ndcg: 0.02 });
  expect(qualityOf({ metrics: { warm: { "hr@3": [0.04, 0.03, 0.05] } } })).toEqual({ hits: 0.04, ndcg: null });
  expect(qualityOf({ metrics: { warm: { "hr@3": "good" } } })).toEqual({ hits: null, ndcg: null });
  expect(qualityOf({ metrics: {} })).toEqual({ hits: null, ndcg: null });
});

it("writes values out", () => {
  expect(text(null)).toBe("—");
  expect(text([1, 2])).toBe("[1,2]");
  expect(text([0.2, 0.1, 0.3])).toBe("0.2 (0.1 to 0.3)");
  expect(text([3, 1, 2])).toBe("[3,1,2]");
});
