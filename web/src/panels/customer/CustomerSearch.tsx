import { useDeferredValue, useId, useState, type KeyboardEvent, type SubmitEvent } from "react";
import { api } from "../../api/client";
import { useQuery } from "../../live/useQuery";
import { Button } from "../../ui/Button";
import { SearchIcon } from "../../ui/icons";
import styles from "./CustomerSearch.module.css";

const SUGGESTIONS = 8;
const NOTHING = -1;

/** A box for a customer's id that suggests real ones, the biggest spenders first (an ARIA combobox). */
export function CustomerSearch({ onCustomer }: { onCustomer: (userId: string) => void }) {
  const [text, setText] = useState("");
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(NOTHING);
  const listId = useId();
  const prefix = useDeferredValue(text.trim());
  const { data: suggestions = [] } = useQuery(`users:${prefix}`, (signal) => api.users(prefix, SUGGESTIONS, signal));
  const shown = open && suggestions.length > 0;

  const choose = (userId: string): void => {
    setText("");
    setOpen(false);
    setActive(NOTHING);
    if (userId !== "") onCustomer(userId);
  };
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    choose((shown ? suggestions[active] : undefined) ?? text.trim());
  };
  const move = (step: number): void => {
    setOpen(true);
    setActive((index) => stepThrough(index, step, suggestions.length));
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "Escape") setOpen(false);
    else if (event.key === "ArrowDown") move(1);
    else if (event.key === "ArrowUp") move(-1);
    else return;
    event.preventDefault();
  };

  return (
    <form className={styles.search} role="search" onSubmit={submit}>
      <label className={styles.box}>
        <span className="visually-hidden">Customer id</span>
        <SearchIcon />
        <input
          type="text"
          role="combobox"
          autoComplete="off"
          spellCheck={false}
          placeholder="Customer id"
          maxLength={128}
          value={text}
          aria-expanded={shown}
          aria-controls={listId}
          aria-autocomplete="list"
          aria-activedescendant={shown && active !== NOTHING ? `${listId}-${active}` : undefined}
          onChange={(event) => {
            setText(event.target.value);
            setOpen(true);
            setActive(NOTHING);
          }}
          onFocus={() => {
            setOpen(true);
          }}
          onBlur={() => {
            setOpen(false);
          }}
          onKeyDown={onKeyDown}
        />
      </label>
      <Button type="submit">Show</Button>
      <ul id={listId} role="listbox" aria-label="Customers" className={styles.list} hidden={!shown}>
        {suggestions.map((userId, index) => (
          <li
            key={userId}
            id={`${listId}-${index}`}
            role="option"
            aria-selected={index === active}
            className={`${styles.option} id`}
            // The box would lose the focus, and the list with it, before a click is complete.
            onMouseDown={(event) => {
              event.preventDefault();
            }}
            onClick={() => {
              choose(userId);
            }}
          >
            {userId}
          </li>
        ))}
      </ul>
    </form>
  );
}

/** The next place in a list of `count`, with one more between its end and its start: the typed text itself. */
function stepThrough(index: number, step: number, count: number): number {
  const places = count + 1;
  return ((index - NOTHING + step + places) % places) + NOTHING;
}
