import { useState } from "react";
import { api } from "../api/client";
import type { ModelEntry, ModelList } from "../api/types";
import { formatCount, formatScore, formatShare, formatShortShare } from "../format/numbers";
import { formatDate, formatMoment } from "../format/time";
import { useLiveConnection } from "../live/LiveContext";
import { useSession } from "../live/SessionContext";
import { useQuery } from "../live/useQuery";
import { toggled } from "../panels/customer/basket";
import { Activation } from "../panels/models/Activation";
import { compare, qualityOf } from "../panels/models/compare";
import { Gate } from "../panels/models/Gate";
import { latestGate, variantsOf } from "../panels/models/gate";
import styles from "../panels/models/Models.module.css";
import { Button } from "../ui/Button";
import { Check } from "../ui/Field";
import { Empty, Failed, Loading, Panel } from "../ui/Panel";
import page from "./System.module.css";

const REFRESH_MS = 3_000;

/** The published models: which is live, how good each is, two side by side, and a way back to any of them. */
export default function Models() {
  const connection = useLiveConnection();
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const [activating, setActivating] = useState<string | null>(null);
  const { data, error, retry } = useQuery("models", (signal) => api.models(signal), {
    everyMs: REFRESH_MS,
    revision: () => connection.getState().snapshot?.summary.model_version,
  });
  if (data === undefined) {
    return <div className={page.waiting}>{error ? <Failed error={error} retry={retry} /> : <Loading label="Loading the models" />}</div>;
  }
  const pair = chosen.flatMap((version) => data.models.filter((model) => model.version === version));
  const [first, second] = pair;
  const gate = latestGate(data);
  return (
    <div className={page.page}>
      <Panel title="Models" note={<Live models={data} />}>
        {data.refused_version !== null && (
          <p className={styles.problem} role="status">
            The recommender refused <span className="id">{data.refused_version}</span>: {data.refused_reason}
          </p>
        )}
        {data.models.length === 0 ? (
          <Empty>No model has been published yet. The batch job trains the first one.</Empty>
        ) : (
          <List
            models={data}
            chosen={chosen}
            onChoose={(version) => {
              setChosen(toggled(chosen, version).slice(-2));
            }}
            onActivate={setActivating}
          />
        )}
        {data.models.some((model) => qualityOf(model).hits !== null) && (
          <p className="remark">
            Orders hit: share of known customers’ orders with one of the three recommended products, on the newest purchases
            before the model was published.
          </p>
        )}
      </Panel>
      {gate !== null && <Gate gate={gate} />}
      {first !== undefined && second !== undefined && <Compared first={first} second={second} />}
      {activating !== null && (
        <Activation
          version={activating}
          back={isBefore(data, activating)}
          onClose={(activated) => {
            setActivating(null);
            if (activated) retry();
          }}
        />
      )}
    </div>
  );
}

function Live({ models: { current, serving } }: { models: ModelList }) {
  if (current === null) return <>no model is live: popular products are recommended</>;
  const since = current.activated_at === null ? "" : `, since ${formatMoment(current.activated_at)}`;
  return (
    <>
      <span className="id">{current.version}</span> is live{since}, by {current.activated_by ?? "unknown"}
      {current.note !== "" && `: ${current.note}`}
      {serving !== current.version && `; the recommender still serves ${serving ?? "no model"}`}
    </>
  );
}

const COLUMNS = [
  "Version",
  "Made",
  "Trained on",
  "Pairs",
  "Customers",
  "Products",
  "Orders hit",
  "NDCG@10",
  "Compare",
  "Serve",
];

interface ListProps {
  models: ModelList;
  chosen: readonly string[];
  onChoose: (version: string) => void;
  onActivate: (version: string) => void;
}

function List({ models, chosen, onChoose, onActivate }: ListProps) {
  const { closed, may } = useSession();
  const mayActivate = !closed || may.has("admin");
  return (
    <div className={styles.scroll} tabIndex={0} role="region" aria-label="Published models, table">
      <table className={styles.models}>
        <thead>
          <tr>
            {COLUMNS.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {models.models.map((model) => (
            <tr key={model.version} data-testid="model">
              <th scope="row" className="id">
                {model.version}
              </th>
              <td>{model.created_at === null ? "—" : formatMoment(model.created_at)}</td>
              <td>{windowOf(model)}</td>
              <td className="number">{countOf(model.counts.pairs)}</td>
              <td className="number">{countOf(model.users)}</td>
              <td className="number">{countOf(model.items)}</td>
              <Measured model={model} />
              <td>
                <Check
                  checked={chosen.includes(model.version)}
                  onChange={() => {
                    onChoose(model.version);
                  }}
                >
                  <span className="visually-hidden">Compare {model.version}</span>
                </Check>
              </td>
              <td>
                <Share models={models} version={model.version} />
                {!model.live && mayActivate && (
                  <Button
                    aria-label={`${isBefore(models, model.version) ? "Roll back to" : "Activate"} ${model.version}`}
                    onClick={() => {
                      onActivate(model.version);
                    }}
                  >
                    {isBefore(models, model.version) ? "Roll back…" : "Activate…"}
                  </Button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Measured({ model }: { model: ModelEntry }) {
  const { hits, ndcg } = qualityOf(model);
  return (
    <>
      <td className="number">{formatShare(hits)}</td>
      <td className="number">{ndcg === null ? "—" : formatScore(ndcg)}</td>
    </>
  );
}

/** Which customers a model answers: all, all the others, or a part of them. */
function Share({ models: { current }, version }: { models: ModelList; version: string }) {
  const variants = variantsOf(current);
  const own = variants.filter((variant) => variant.version === version);
  return (
    <>
      {current?.version === version && <span className={styles.live}>{variants.length === 0 ? "live" : "live for the rest"}</span>}
      {own.map(({ name, weight }) => (
        <span key={name} className={styles.live}>
          variant {name}: {formatShortShare(weight)}
        </span>
      ))}
    </>
  );
}

/** Whether the version is the one that was live before. */
const isBefore = ({ current }: ModelList, version: string): boolean => current?.previous === version;

const countOf = (value: unknown): string => (typeof value === "number" ? formatCount(value) : "—");

function windowOf({ training: { from, to } }: ModelEntry): string {
  return typeof from === "string" && typeof to === "string" ? `${formatDate(from)} – ${formatDate(to)}` : "—";
}

function Compared({ first, second }: { first: ModelEntry; second: ModelEntry }) {
  return (
    <Panel title="Compared" note="differences are marked">
      <div className={styles.scroll} tabIndex={0} role="region" aria-label="Two models, table">
        <table className={styles.models} data-testid="compared">
          <thead>
            <tr>
              <th scope="col">Of</th>
              <th scope="col">What</th>
              <th scope="col" className="id">
                {first.version}
              </th>
              <th scope="col" className="id">
                {second.version}
              </th>
            </tr>
          </thead>
          <tbody>
            {compare(first, second).map((row) => (
              <tr key={`${row.group} ${row.name}`} data-same={row.same}>
                <td>{row.group}</td>
                <th scope="row">{row.name}</th>
                <td className="number">{row.first}</td>
                <td className="number">{row.second}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}
