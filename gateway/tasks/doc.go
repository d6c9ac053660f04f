// Package tasks reads off the blocks what this gateway has to do about them, and
// does it: artifacts that may be evidence, pushes of others to confirm, images to
// prove. The list of it is a table in the queue, which replicas share.
package tasks
