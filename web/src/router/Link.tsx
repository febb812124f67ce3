import type { ComponentProps, MouseEvent } from "react";
import { navigate } from "./location";

type LinkProps = ComponentProps<"a"> & { to: string };

/** A link within the page. It is a real one: it can be copied, and opened in another tab. */
export function Link({ to, onClick, ...props }: LinkProps) {
  const follow = (event: MouseEvent<HTMLAnchorElement>): void => {
    onClick?.(event);
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
      return;
    event.preventDefault();
    navigate(to);
  };
  return <a href={to} onClick={follow} {...props} />;
}
