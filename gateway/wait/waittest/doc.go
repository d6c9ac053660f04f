// Package waittest waits in a test until something holds, by polling.
package waittest
