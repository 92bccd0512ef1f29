{{/*
What the pod must know of the policy, as JSON: admin (port), lanes (ports on the pod's address), transparent
(port or 0). A policy that
could not run in the pod is refused here; `sekisho check` says everything else about it.
*/}}
{{- define "sekisho.facts" -}}
{{- if not (trim .Values.policy) -}}
{{- fail "\n\nsekisho: there is no policy. Give it the file: --set-file policy=sekisho.yaml (in a chart of your own: --set-file sekisho.policy=…)\n" -}}
{{- end -}}
{{- $policy := fromYaml .Values.policy -}}
{{- if hasKey $policy "Error" -}}
{{- fail (printf "\n\nsekisho: the policy is no YAML mapping: %s\n" $policy.Error) -}}
{{- end -}}
{{- $admin := dig "admin" "listen" "127.0.0.1:9464" $policy -}}
{{- if regexMatch "^(127\\.|localhost|\\[::1\\])" $admin -}}
{{- fail (printf "\n\nsekisho: admin.listen of the policy is %s, where neither the kubelet's probes nor Prometheus reach it. Write: admin: {listen: 0.0.0.0:9464}\n" $admin) -}}
{{- end -}}
{{- $audit := dig "audit" "path" "" $policy -}}
{{- if not (hasPrefix "/var/lib/sekisho/" $audit) -}}
{{- fail (printf "\n\nsekisho: audit.path of the policy is %q, which cannot be written in the pod. Write: path: /var/lib/sekisho/audit.jsonl\n" $audit) -}}
{{- end -}}
{{- $key := dig "audit" "fingerprint_key_file" "" $policy -}}
{{- if not (hasPrefix "/etc/sekisho/keys/" $key) -}}
{{- fail (printf "\n\nsekisho: audit.fingerprint_key_file of the policy is %q. The Secret is mounted at /etc/sekisho/keys. Write: fingerprint_key_file: /etc/sekisho/keys/fingerprint.key\n" $key) -}}
{{- end -}}
{{- $ports := list -}}
{{- $transparent := 0 -}}
{{- if not (kindIs "slice" $policy.lanes) -}}
{{- fail "\n\nsekisho: the policy has no list of lanes: `sekisho check` says more\n" -}}
{{- end -}}
{{- range $policy.lanes -}}
{{- if not (and (kindIs "map" .) (regexMatch ":[0-9]+$" (toString .listen))) -}}
{{- fail "\n\nsekisho: a lane of the policy has no `listen: host:port`: `sekisho check` says more\n" -}}
{{- end -}}
{{- $port := regexFind "[0-9]+$" .listen | int -}}
{{- if eq (toString .upstream) "transparent" -}}
{{- $transparent = $port -}}
{{- end -}}
{{- if not (regexMatch "^(127\\.|localhost|\\[::1\\])" .listen) -}}
{{- $ports = append $ports $port -}}
{{- end -}}
{{- end -}}
{{- if and .Values.transparent.enabled (not $transparent) -}}
{{- fail "\n\nsekisho: transparent.enabled, but no lane of the policy has upstream: transparent\n" -}}
{{- end -}}
{{- dict "admin" (regexFind "[0-9]+$" $admin | int) "lanes" ($ports | uniq) "transparent" $transparent | toJson -}}
{{- end -}}
