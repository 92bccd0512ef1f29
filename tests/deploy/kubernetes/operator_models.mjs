// What the Prometheus operator's models say against each manifest of the JSON list on standard input.
import { PodMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
import { text } from "node:stream/consumers";

const models = { PodMonitor, PrometheusRule };
const wrong = [];
for (const { kind, ...manifest } of JSON.parse(await text(process.stdin))) {
  try {
    new models[kind](manifest).validate();
  } catch (error) {
    wrong.push(`${kind}: ${error.message}`);
  }
}
console.log(JSON.stringify(wrong));
