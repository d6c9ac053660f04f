// Package model holds a second contract: the law of docs/policy.md,
// docs/ARCHITECTURE.md and its threats, written down once more in plain Go,
// over plain maps, from nothing that the chaincode decides by. Random
// sequences of acts by organisations that obey and some that do not are run on
// the chaincode, as a peer runs it (contracttest), and on the model beside it.
//
// They must agree on every act, on every verdict, and on who may do what; after
// every sequence those who obey must be able to have an image released.
//
//	go test ./test/model                                  a share, for 20 s at most
//	WAYBILL_MODEL_SEQUENCES=1000000 go test -timeout 0 -run TestSequences ./test/model
//
// A sequence is its seed. A divergence is printed with the shortest sequence of
// acts that still shows it; testdata/found keeps those that were found.
package model
