import { describe, expect, it } from "vitest";
import { averageMoney, fromCents, moneyFormat, sumMoney, toCents } from "./money";

describe("cents", () => {
  it.each([
    ["0.00", 0n],
    ["0.05", 5n],
    ["-0.05", -5n],
    ["1234.56", 123456n],
    ["90071992547409919.37", 9007199254740991937n],
  ])("%s is read and written without loss", (money, cents) => {
    expect(toCents(money)).toBe(cents);
    expect(fromCents(cents)).toBe(money);
  });

  it.each(["", "1", "1.5", "1.234", "1e9", "NaN", "1,000.00", " 1.00"])("refuses %j", (text) => {
    expect(() => toCents(text)).toThrow(RangeError);
  });

  it("adds what floats cannot", () => {
    expect(sumMoney(["0.10", "0.20", "-0.30"])).toBe("0.00");
    expect(sumMoney(["90071992547409.91", "0.02"])).toBe("90071992547409.93");
  });
});

it.each([
  ["10.00", 3, "3.33"],
  ["20.00", 3, "6.67"],
  ["0.01", 2, "0.01"],
  ["-20.00", 3, "-6.67"],
])("%s over %d is %s", (amount, count, average) => {
  expect(averageMoney(amount, count)).toBe(average);
});

describe("moneyFormat", () => {
  it("shows every cent of an amount that a float would round", () => {
    expect(moneyFormat("USD", "en-US").exact("90071992547409919.37")).toBe("$90,071,992,547,409,919.37");
  });

  it("follows the locale and the currency", () => {
    expect(moneyFormat("EUR", "de-DE").exact("-1234.50")).toBe("-1.234,50\u00a0€");
    expect(moneyFormat("JPY", "en-US").exact("12.50")).toBe("¥12.50");
  });

  it("shortens axis labels", () => {
    expect(moneyFormat("USD", "en-US").compact(1_234_567)).toBe("$1.2M");
    expect(moneyFormat("USD", "en-US").compact(500)).toBe("$500");
  });
});
