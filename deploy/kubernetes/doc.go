// Package kubernetes checks ../kubernetes.yaml against the types of Kubernetes. It is a
// separate module, so that no other module depends on Kubernetes.
package kubernetes
