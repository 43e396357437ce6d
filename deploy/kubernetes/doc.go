// Package kubernetes holds ../kubernetes.yaml against the types of Kubernetes itself, in a
// module of its own: their dependencies are no one else's.
package kubernetes
