{{/* Names of what the chart makes. A release that is called as the chart is not called twice. */}}
{{- define "sekisho.fullname" -}}
{{- if not (hasKey .Values "fullnameOverride") -}}
{{- fail "sekisho: give its templates the chart's own scope: include \"sekisho.…\" .Subcharts.sekisho" -}}
{{- end -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sekisho.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: sekisho
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "sekisho.secretName" -}}
{{- default (printf "%s-keys" (include "sekisho.fullname" .)) .Values.keys.existingSecret -}}
{{- end -}}

{{/* By this label the PodMonitor and the NetworkPolicy find the pods that have the sidecar. */}}
{{- define "sekisho.selectorLabels" -}}
sekisho-sidecar: {{ include "sekisho.fullname" . }}
{{- end -}}
