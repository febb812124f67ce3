import { expect, it } from "vitest";
import { knowledgeText } from "./knowledge";

it("says how old the knowledge is once it stands still, and nothing before", () => {
  expect(knowledgeText(null)).toBeNull();
  expect(knowledgeText(0)).toBeNull();
  expect(knowledgeText(5_000)).toBeNull();
  expect(knowledgeText(180_000)).toBe(
    "The purchases of the last 3 min are missing here: the recommender lags behind the stream.",
  );
});
