import { expect, it } from "vitest";
import { knowledgeText } from "./knowledge";

it("says how old the knowledge is once it stands still, and nothing before", () => {
  expect(knowledgeText(null)).toBeNull();
  expect(knowledgeText(0)).toBeNull();
  expect(knowledgeText(5_000)).toBeNull();
  expect(knowledgeText(180_000)).toBe(
    "Purchases of the last 3 min are not yet in these answers: the recommender cannot follow the stream.",
  );
});
