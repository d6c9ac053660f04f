// Package fsck compares queue, index and chain while the gateway is stopped, and
// repairs what the chain proves.
package fsck
