// Package tasks is the durable list of what blocks ask of this gateway: artifacts
// that may be evidence, pushes of others to confirm, images to prove.
package tasks
