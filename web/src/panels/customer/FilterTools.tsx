import { useState } from "react";
import { useChangeSearch } from "../../router/location";
import { Button } from "../../ui/Button";
import { CategoryChoice } from "../../ui/CategoryChoice";
import { Field } from "../../ui/Field";
import { isFiltered, isPrice, NO_FILTERS, type Filters } from "./filters";
import styles from "./FilterTools.module.css";

/** Which products may be recommended. The address holds what was chosen. */
export function FilterTools({ filters }: { filters: Filters }) {
  const change = useChangeSearch();
  return (
    <div className={styles.filters} role="group" aria-label="Which products may be recommended">
      <CategoryChoice
        value={filters.category}
        onChange={(category) => {
          change({ category });
        }}
      />
      <Price
        key={`min ${filters.min_price}`}
        name="Price from"
        value={filters.min_price}
        onChange={(price) => {
          change({ min_price: price }, { replace: true });
        }}
      />
      <Price
        key={`max ${filters.max_price}`}
        name="Price to"
        value={filters.max_price}
        onChange={(price) => {
          change({ max_price: price }, { replace: true });
        }}
      />
      {isFiltered(filters) && (
        <Button
          onClick={() => {
            change(NO_FILTERS);
          }}
        >
          All products
        </Button>
      )}
    </div>
  );
}

interface PriceProps {
  name: string;
  value: string | null;
  onChange: (price: string | null) => void;
}

/** A price, taken over once it is typed to its end. */
function Price({ name, value, onChange }: PriceProps) {
  const [text, setText] = useState(value ?? "");
  const fits = text === "" || isPrice(text);
  const take = (): void => {
    if (fits && text !== (value ?? "")) onChange(text || null);
  };
  return (
    <Field name={name}>
      <input
        type="text"
        inputMode="decimal"
        size={8}
        placeholder="any"
        value={text}
        aria-invalid={!fits}
        onChange={(event) => {
          setText(event.target.value.trim());
        }}
        onBlur={take}
        onKeyDown={(event) => {
          if (event.key === "Enter") take();
        }}
      />
    </Field>
  );
}
