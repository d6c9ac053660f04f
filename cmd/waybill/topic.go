package main

import "github.com/spf13/cobra"

// newOutputTopic documents what -o json and -o yaml promise: waybill help output.
func newOutputTopic() *cobra.Command {
	return &cobra.Command{
		Use: "output", Short: "What -o json and -o yaml print",
		Long: `-o table is for people and may change. -o json and -o yaml are for programs:
names and meanings stay, new fields may come. Numbers are numbers, times are
RFC 3339 in UTC. Only the result is on standard output; notices and errors are on
standard error.

verify, explain
    {"image","digest","stage","verdict","height","policy":{"name","version"},
     "reasons":[{"rule","outcome","detail","fix"}]}
    verdict: allowed, denied, pending, quarantined or unknown
    outcome: satisfied, unmet or violated
    height:  the block height the verdict is true at
    policy is absent when none matches, fix when nothing is needed

promote, approve, reject, release, quarantine, unquarantine, member grant,
member revoke, registry add, policy apply
    {"txid","block","by","result"}
    result: the verdict for acts on a promotion; {"name","hash","version",
    "active","votes","needed"} for policy apply; the record for the others

status, history, promotions, policy list, policy show, member list, registry list,
queue list, queue retry
    the gateway's answer: the messages of gateway/api/proto/waybill/v1/waybill.proto
    with their names in lower camel case; absent messages are left out, empty
    strings and lists are not

network status
    [{"org","node","kind","pid","address","height","health"}]
    health: running, stopped or unreachable

network up
    {"channel","chaincode","genesis","orgs":[{"org","mspid","peerAddress",
     "peerTLSCA","gatewayAddress","gatewayTLSCA","enrolmentCA","people"}]}

version
    {"version","revision","go","platform"}

` + exitHelp,
	}
}
