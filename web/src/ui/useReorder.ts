import { useLayoutEffect, useRef, type RefObject } from "react";

const CALM_MS = 420;
const reducedMotion = window.matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Moves the children of a list smoothly from where they were to where they are now. A child is known by its
 * `data-key`; one that is new fades in.
 */
export function useReorder<T extends HTMLElement>(): RefObject<T | null> {
  const list = useRef<T>(null);
  const places = useRef(new Map<string, number>());
  const order = useRef("");
  useLayoutEffect(() => {
    if (list.current === null) return;
    const keys = [...list.current.children].map((child) => (child as HTMLElement).dataset["key"]).join("\n");
    // Asking where the children are makes the browser lay the page out.
    if (keys === order.current) return;
    order.current = keys;
    const before = places.current;
    const after = new Map<string, number>();
    for (const child of list.current.children) {
      if (!(child instanceof HTMLElement)) continue;
      const { key = "" } = child.dataset;
      after.set(key, child.offsetTop);
      if (before.size > 0 && !reducedMotion.matches) glide(child, before.get(key), child.offsetTop);
    }
    places.current = after;
  });
  return list;
}

function glide(child: HTMLElement, from: number | undefined, to: number): void {
  if (from === to) return;
  const start = from === undefined ? { opacity: 0 } : { transform: `translateY(${from - to}px)` };
  const end = from === undefined ? { opacity: 1 } : { transform: "none" };
  child.animate([start, end], { duration: CALM_MS, easing: "ease-in-out" });
}
