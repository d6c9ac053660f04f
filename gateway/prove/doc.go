// Package prove brings before the contract the manifest of an image that was
// recorded by its digest alone, so that it is proven and can be released.
package prove
