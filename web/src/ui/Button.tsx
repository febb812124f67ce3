import type { ComponentProps, ReactNode } from "react";
import styles from "./Button.module.css";

type ButtonProps = ComponentProps<"button">;

export function Button({ className, type = "button", ...props }: ButtonProps) {
  return <button type={type} className={[styles.button, className].join(" ")} {...props} />;
}

/** A square button that shows an icon; the label is its name and its tooltip. */
export function IconButton({ label, children, ...props }: { label: string; children: ReactNode } & ButtonProps) {
  return (
    <Button className={styles.icon} aria-label={label} title={label} {...props}>
      {children}
    </Button>
  );
}

/** A text that can be pressed. */
export function LinkButton({ className, ...props }: ButtonProps) {
  return <button type="button" className={[styles.link, className].join(" ")} {...props} />;
}
