{{/*
The parts of a pod with the sidecar. In a chart of your own, with this one among its dependencies:

    metadata:
      labels: {{- include "sekisho.podLabels" .Subcharts.sekisho | nindent 8 }}
    spec:
      terminationGracePeriodSeconds: {{ include "sekisho.terminationGracePeriodSeconds" .Subcharts.sekisho }}
      securityContext: {{- include "sekisho.podSecurityContext" .Subcharts.sekisho | nindent 8 }}
      initContainers: {{- include "sekisho.initContainers" .Subcharts.sekisho | nindent 8 }}
      volumes: {{- include "sekisho.volumes" .Subcharts.sekisho | nindent 8 }}

There is no annotation with a checksum of the policy: the sidecar sees the ConfigMap change in its mount and reloads,
so a change of policy must not replace the pods.
*/}}

{{- define "sekisho.podLabels" -}}
{{ include "sekisho.selectorLabels" . }}
{{- with .Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "sekisho.podAnnotations" -}}
{{- with .Values.podAnnotations }}
{{- toYaml . }}
{{- end }}
{{- end -}}

{{- define "sekisho.podSecurityContext" -}}
fsGroup: {{ .Values.fsGroup }}
fsGroupChangePolicy: OnRootMismatch
{{- end -}}

{{/* The application's time, and then the sidecar's: it is told to end once every container of the application has ended. */}}
{{- define "sekisho.terminationGracePeriodSeconds" -}}
{{- add .Values.applicationGraceSeconds .Values.drainSeconds 5 -}}
{{- end -}}

{{/* Everything that stands before the application's own init containers. */}}
{{- define "sekisho.initContainers" -}}
{{- if .Values.transparent.enabled -}}
{{ include "sekisho.iptables" . }}
{{ end -}}
{{ include "sekisho.sidecar" . }}
{{- end -}}

{{- define "sekisho.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "sekisho.sidecar" -}}
{{- $facts := include "sekisho.facts" . | fromJson -}}
- name: sekisho
  image: {{ include "sekisho.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  restartPolicy: Always
  command: [sekisho]
  args: [run, --config, /etc/sekisho/policy/sekisho.yaml, --workers, {{ .Values.workers | quote }}, --grace, {{ .Values.drainSeconds | quote }}]
  {{- if eq .Values.audit.storage "claim" }}
  env:
    - name: POD_NAME
      valueFrom: {fieldRef: {fieldPath: metadata.name}}
  {{- end }}
  ports:
    - {name: sekisho-admin, containerPort: {{ $facts.admin }}, protocol: TCP}
    {{- range $facts.lanes }}
    - {containerPort: {{ . }}, protocol: TCP}
    {{- end }}
  startupProbe:
    httpGet: {path: /readyz, port: {{ $facts.admin }}}
    {{- toYaml .Values.probes.startup | nindent 4 }}
  readinessProbe:
    httpGet: {path: /readyz, port: {{ $facts.admin }}}
    {{- toYaml .Values.probes.readiness | nindent 4 }}
  livenessProbe:
    httpGet: {path: /healthz, port: {{ $facts.admin }}}
    {{- toYaml .Values.probes.liveness | nindent 4 }}
  resources:
    {{- toYaml .Values.resources | nindent 4 }}
  securityContext:
    runAsUser: {{ .Values.uid }}
    runAsGroup: {{ .Values.uid }}
    runAsNonRoot: true
    readOnlyRootFilesystem: true
    allowPrivilegeEscalation: false
    privileged: false
    capabilities: {drop: [ALL]}
    seccompProfile: {type: RuntimeDefault}
  volumeMounts:
    - {name: sekisho-policy, mountPath: /etc/sekisho/policy, readOnly: true}
    - {name: sekisho-keys, mountPath: /etc/sekisho/keys, readOnly: true}
    {{- if eq .Values.audit.storage "claim" }}
    - {name: sekisho-audit, mountPath: /var/lib/sekisho, subPathExpr: $(POD_NAME)}
    {{- else }}
    - {name: sekisho-audit, mountPath: /var/lib/sekisho}
    {{- end }}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- define "sekisho.iptables" -}}
{{- $facts := include "sekisho.facts" . | fromJson -}}
- name: sekisho-iptables
  image: {{ .Values.transparent.image }}
  command: [sh, /etc/sekisho/iptables/sekisho-iptables.sh]
  args:
    {{- $arguments := list "--uid" .Values.uid "--port" $facts.transparent "--ports" .Values.transparent.ports "--exclude-ports" .Values.transparent.excludePorts }}
    {{- range .Values.transparent.exclude }}
    {{- $arguments = concat $arguments (list "--exclude" .) }}
    {{- end }}
    {{- range $arguments }}
    - {{ . | toString | quote }}
    {{- end }}
  resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 32Mi}}
  securityContext:
    runAsUser: 0
    runAsGroup: 0
    runAsNonRoot: false
    readOnlyRootFilesystem: true
    allowPrivilegeEscalation: false
    privileged: false
    capabilities: {drop: [ALL], add: [NET_ADMIN, NET_RAW]}
    seccompProfile: {type: RuntimeDefault}
  volumeMounts:
    - {name: sekisho-iptables, mountPath: /etc/sekisho/iptables, readOnly: true}
    - {name: sekisho-run, mountPath: /run}                 # xtables.lock
{{- end -}}

{{- define "sekisho.volumes" -}}
- name: sekisho-policy
  configMap: {name: {{ include "sekisho.fullname" . }}-policy}
- name: sekisho-keys
  secret: {secretName: {{ include "sekisho.secretName" . }}, defaultMode: 0440}
{{- if eq .Values.audit.storage "emptyDir" }}
- name: sekisho-audit
  emptyDir: {sizeLimit: {{ .Values.audit.size }}}
{{- else if eq .Values.audit.storage "claim" }}
- name: sekisho-audit
  persistentVolumeClaim: {claimName: {{ .Values.audit.existingClaim }}}
{{- end }}
{{- if .Values.transparent.enabled }}
- name: sekisho-iptables
  configMap: {name: {{ include "sekisho.fullname" . }}-iptables}
- name: sekisho-run
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* For a StatefulSet: each pod keeps its own records, whatever becomes of the pod. */}}
{{- define "sekisho.volumeClaimTemplates" -}}
{{- if eq .Values.audit.storage "claimTemplate" -}}
- metadata: {name: sekisho-audit}
  spec:
    accessModes: [ReadWriteOnce]
    {{- with .Values.audit.storageClassName }}
    storageClassName: {{ . }}
    {{- end }}
    resources: {requests: {storage: {{ .Values.audit.size }}}}
{{- end -}}
{{- end -}}
