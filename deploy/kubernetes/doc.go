// Package kubernetes validates ../kubernetes.yaml against Kubernetes' own types. It is a
// separate module, so that no other module has their dependencies.
package kubernetes
