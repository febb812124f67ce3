import { useId, type ReactNode } from "react";
import styles from "./Field.module.css";

/** A named control: the label stands above it. */
export function Field({ name, className, children }: { name: string; className?: string | undefined; children: ReactNode }) {
  return (
    <label className={[styles.field, className].join(" ")}>
      <span>{name}</span>
      {children}
    </label>
  );
}

interface SegmentsProps<T extends string> {
  name: string;
  options: readonly { value: T; label: string; disabled?: boolean }[];
  value: T | null;
  onChange: (value: T) => void;
}

/** A choice of one among a few, side by side. */
export function Segments<T extends string>({ name, options, value, onChange }: SegmentsProps<T>) {
  const group = useId();
  return (
    <fieldset className={styles.group}>
      <legend>{name}</legend>
      <div className={styles.segments}>
        {options.map((option) => (
          <label key={option.value}>
            <input
              type="radio"
              name={group}
              checked={option.value === value}
              disabled={option.disabled}
              onChange={() => {
                onChange(option.value);
              }}
            />
            {option.label}
          </label>
        ))}
      </div>
    </fieldset>
  );
}

interface CheckProps {
  checked: boolean;
  disabled?: boolean;
  onChange: (checked: boolean) => void;
  children: ReactNode;
}

/** A choice of yes or no. */
export function Check({ checked, disabled = false, onChange, children }: CheckProps) {
  return (
    <label className={styles.check}>
      <input
        type="checkbox"
        checked={checked}
        disabled={disabled}
        onChange={(event) => {
          onChange(event.target.checked);
        }}
      />
      {children}
    </label>
  );
}
