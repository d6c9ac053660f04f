// Package check holds the chart and the compose file to those who will read them: Helm, Kubernetes'
// schemas, a real API server, and compose's own loader. It is a module of its own, so that nothing of
// theirs is in what is built here.
package check
