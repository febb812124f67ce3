import { GRANULARITIES, GRANULARITY_NAMES } from "../../format/buckets";
import { dayOf, isDay } from "../../format/calendar";
import { useChangeSearch } from "../../router/location";
import { CategoryChoice } from "../../ui/CategoryChoice";
import { Check, Field, Segments } from "../../ui/Field";
import { byDays, byGranularity, byPreset, daysBefore, PRESETS, shownDays, type Choice, type Preset } from "./choice";
import styles from "./SalesTools.module.css";

const PRESET: Record<Preset, string> = { all: "All", "90d": "90 days", "30d": "30 days", "7d": "7 days", "1d": "Newest day" };

interface SalesToolsProps {
  choice: Choice;
  zone: string;
  newest: number;
}

/** What is shown: how fine, of which days, of which category, and beside what. */
export function SalesTools({ choice, zone, newest }: SalesToolsProps) {
  const change = useChangeSearch();
  const newestDay = dayOf(newest, zone);
  const { from, to } = shownDays(choice, newestDay);
  const setDay = (end: "from" | "to", text: string): void => {
    if (text === "" || isDay(text)) change(byDays({ from, to, [end]: text || null }), { replace: true });
  };
  return (
    <section className={styles.tools} aria-label="What is shown">
      <Segments
        name="By"
        value={choice.granularity}
        options={GRANULARITIES.map((value) => ({
          value,
          label: GRANULARITY_NAMES[value],
          disabled: choice.category !== null && (value === "hour" || value === "minute"),
        }))}
        onChange={(granularity) => {
          change(byGranularity(granularity));
        }}
      />
      <Segments
        name="Range"
        value={choice.preset}
        options={PRESETS.map((value) => ({ value, label: PRESET[value] }))}
        onChange={(preset) => {
          change(byPreset(preset));
        }}
      />
      <Field name="From">
        <input
          type="date"
          value={from ?? ""}
          max={to ?? newestDay}
          onChange={(event) => {
            setDay("from", event.target.value);
          }}
        />
      </Field>
      <Field name="To">
        <input
          type="date"
          value={to ?? ""}
          min={from ?? undefined}
          max={newestDay}
          onChange={(event) => {
            setDay("to", event.target.value);
          }}
        />
      </Field>
      <CategoryChoice
        value={choice.category}
        onChange={(category) => {
          change({ category });
        }}
      />
      <Check
        checked={choice.compare}
        disabled={daysBefore({ from, to }, choice.granularity) === null}
        onChange={(compare) => {
          change({ compare: compare ? "before" : null });
        }}
      >
        Compare with the period before
      </Check>
      {choice.category !== null && (
        <p className="remark">Hours and minutes are kept for the whole shop only, not for a category.</p>
      )}
    </section>
  );
}
