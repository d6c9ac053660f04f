// Command waybill-chaincode serves Waybill's smart contract to its
// organisation's peer, as chaincode-as-a-service over mutual TLS. It is
// configured by the environment that fabric-contract-api-go defines:
// CHAINCODE_SERVER_ADDRESS, CORE_CHAINCODE_ID_NAME and the CORE_PEER_TLS_…
// variables. It refuses to serve without a client CA: whoever reaches the port
// of an unauthenticated chaincode may play the peer.
package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"

	"github.com/waybill-dev/waybill/chaincode/contract"
)

// softMemory is from where on the collector spares no time.
const softMemory = 384 << 20

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "waybill-chaincode:", err)
		os.Exit(1)
	}
}

func run() error {
	for _, name := range []string{"CHAINCODE_SERVER_ADDRESS", "CORE_CHAINCODE_ID_NAME", "CORE_TLS_CLIENT_KEY_FILE", "CORE_TLS_CLIENT_CERT_FILE", "CORE_PEER_TLS_ROOTCERT_FILE"} {
		if os.Getenv(name) == "" {
			return fmt.Errorf("%s is not set; the peer's link must be mutual TLS", name)
		}
	}
	if os.Getenv("CORE_PEER_TLS_ENABLED") != "true" {
		return fmt.Errorf("CORE_PEER_TLS_ENABLED must be true")
	}
	// A segment of 5,000 events leaves 40 MB of garbage and nothing that lives:
	// at Go's default of 100 the collector would run ten times while it is applied.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	// Four times what lives when it is large would be gigabytes: from here on it runs
	// as often as it has to.
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softMemory)
	}
	chaincode, err := contract.New()
	if err != nil {
		return err
	}
	tls, err := tlsFiles()
	if err != nil {
		return err
	}
	server := shim.ChaincodeServer{
		CCID: os.Getenv("CORE_CHAINCODE_ID_NAME"), Address: os.Getenv("CHAINCODE_SERVER_ADDRESS"), CC: &admission{Chaincode: chaincode}, TLSProps: tls,
	}
	return server.Start()
}

// tlsFiles reads the key and the certificates that the environment names.
func tlsFiles() (shim.TLSProperties, error) {
	var tls shim.TLSProperties
	for name, to := range map[string]*[]byte{
		"CORE_TLS_CLIENT_KEY_FILE": &tls.Key, "CORE_TLS_CLIENT_CERT_FILE": &tls.Cert, "CORE_PEER_TLS_ROOTCERT_FILE": &tls.ClientCACerts,
	} {
		b, err := os.ReadFile(os.Getenv(name))
		if err != nil {
			return tls, fmt.Errorf("%s: %w", name, err)
		}
		*to = b
	}
	return tls, nil
}
