// Package connector shows the connectors of a gateway as admins see them, and
// tests one with a sample over its own hook.
package connector
