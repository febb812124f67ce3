/** Money is a decimal string such as "1234.50", from the gateway to the screen. It is never a float. */
export type Money = string;

const MONEY = /^(-?)(\d+)\.(\d{2})$/;

/** The exact number of cents. Throws where the text is not money with two places. */
export function toCents(money: Money): bigint {
  const match = MONEY.exec(money);
  if (match === null) throw new RangeError(`${money} is not an amount with two decimal places`);
  const [, sign = "", whole = "", fraction = ""] = match;
  const cents = BigInt(whole + fraction);
  return sign === "-" ? -cents : cents;
}

/** The decimal string of an amount in cents. */
export function fromCents(cents: bigint): Money {
  const digits = (cents < 0n ? -cents : cents).toString().padStart(3, "0");
  return `${cents < 0n ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

export function sumMoney(amounts: readonly Money[]): Money {
  return fromCents(amounts.reduce((sum, amount) => sum + toCents(amount), 0n));
}

/** The amount shared evenly over `count` > 0, to the nearest cent (halves away from zero). */
export function averageMoney(amount: Money, count: number): Money {
  const cents = toCents(amount);
  const half = BigInt(count) / 2n;
  return fromCents((cents < 0n ? cents - half : cents + half) / BigInt(count));
}

/** A nearby number, good enough to place a pixel and for nothing else. */
export function approximate(money: Money): number {
  return Number(money);
}

export interface MoneyFormat {
  /** Every digit: $1,234.50 */
  exact: (money: Money) => string;
  /** A difference, with its sign: +$1,234.50 */
  change: (money: Money) => string;
  /** For an axis: $1.2K. Takes the axis' own number. */
  compact: (value: number) => string;
}

/** Formats in the viewer's locale (by default) and the shop's currency (ISO 4217). */
export function moneyFormat(currency: string, locale?: string): MoneyFormat {
  return formatWith({ style: "currency", currency, currencyDisplay: "narrowSymbol" }, locale);
}

/** Formats amounts of a shop whose currency is not known. */
export function plainFormat(locale?: string): MoneyFormat {
  return formatWith({ style: "decimal" }, locale);
}

function formatWith(style: Intl.NumberFormatOptions, locale?: string): MoneyFormat {
  const exact = new Intl.NumberFormat(locale, { ...style, minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const change = new Intl.NumberFormat(locale, {
    ...style,
    minimumFractionDigits: 2,
    maximumFractionDigits: 2,
    signDisplay: "exceptZero",
  });
  const compact = new Intl.NumberFormat(locale, {
    ...style,
    notation: "compact",
    minimumFractionDigits: 0,
    maximumFractionDigits: 1,
  });
  return {
    exact: (money) => exact.format(money as Intl.StringNumericLiteral),
    change: (money) => change.format(money as Intl.StringNumericLiteral),
    compact: (value) => compact.format(value),
  };
}
