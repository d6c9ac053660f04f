// Package autorelease completes a promotion when its last rule comes to be met by
// something that is no approval: a scan, the end of a soak. It asks the contract
// for the release; several gateways may, and the contract decides once.
package autorelease
