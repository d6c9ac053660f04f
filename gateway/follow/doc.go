// Package follow carries the chain into the index, and reads it as a whole.
package follow
