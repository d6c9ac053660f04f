// Package sweep finds what nobody reported: it walks a registry, compares it with
// the index, and queues what is missing.
package sweep
