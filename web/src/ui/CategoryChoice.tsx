import { api } from "../api/client";
import { allCategories } from "../format/categories";
import { categoryPath } from "../format/product";
import { useQuery } from "../live/useQuery";
import { Field } from "./Field";
import styles from "./Field.module.css";

/** As many as the gateway answers at once. */
const ALL = 1_000;

interface CategoryChoiceProps {
  value: string | null;
  onChange: (category: string | null) => void;
}

/** One of the shop's categories, or all of them. */
export function CategoryChoice({ value, onChange }: CategoryChoiceProps) {
  const { data = [] } = useQuery("category-choice", (signal) => api.top("categories", ALL, signal));
  const codes = allCategories(data);
  if (value !== null && !codes.includes(value)) codes.unshift(value);
  return (
    <Field name="Category" className={styles.category}>
      <select
        value={value ?? ""}
        onChange={(event) => {
          onChange(event.target.value || null);
        }}
      >
        <option value="">All categories</option>
        {codes.map((code) => (
          <option key={code} value={code}>
            {categoryPath(code)}
          </option>
        ))}
      </select>
    </Field>
  );
}
