package ledger

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/secretfile"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// Config says as whom, and through which peer, the ledger is spoken to.
type Config struct {
	MSPID    string
	CertFile string // PEM; the person or robot that signs
	KeyFile  string // PEM, PKCS #8 or SEC 1; refused when others may read it
	// Key is the key itself, where whoever calls had to open its file.
	Key           crypto.PrivateKey
	PeerAddress   string // host:port of the organisation's own peer
	PeerTLSCAFile string // PEM
	Channel       string
	Chaincode     string
	// After is the channel that this one goes on from. Its blocks come first, and those of this one are counted on.
	After After
	// Deadlines of single calls; zero means the default. The client library has none of its own.
	Endorse  time.Duration // 15s
	Submit   time.Duration // 15s
	Commit   time.Duration // 30s: longest wait for a commit status
	Evaluate time.Duration // 10s
	Log      *slog.Logger
}

// maxMessage is the largest message taken from a peer; a block is at most
// about 10 MiB by the channel's configuration.
const maxMessage = 64 << 20

// Client speaks to one peer as one identity. Its methods may be called from
// many goroutines: one connection carries them all.
type Client struct {
	config Config
	log    *slog.Logger
	over   grpc.ClientConnInterface
	conn   *grpc.ClientConn
	as     atomic.Pointer[session]
	seen   atomic.Pointer[common.Block] // the last block that was followed, without its data
	retry  retry

	configs configs
}

// session is a client's one identity, which a renewed certificate ends. Whatever is signed goes through one session
// from its proposal to its signature.
type session struct {
	cert     *x509.Certificate
	gateway  *client.Gateway
	network  *client.Network
	contract *client.Contract
	sign     identity.Sign
	creator  []byte
}

// Dial prepares a client. It reads the files but does not wait for the peer:
// a gateway must start while its peer is down. Errors are WB_INVALID for files
// or options that do not fit.
func Dial(config Config) (*Client, error) {
	config = config.withDefaults()
	id, sign, err := readPerson(config)
	if err != nil {
		return nil, err
	}
	roots, err := readRoots(config.PeerTLSCAFile)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(config.PeerAddress,
		grpc.WithTransportCredentials(freshRoots{credentials.NewClientTLSFromCert(roots, ""), config.PeerTLSCAFile}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		// The default backs off for up to two minutes: a peer that came back would stay unused that long.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		// A peer that vanished without a word is noticed; Fabric allows a ping a minute.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 65 * time.Second, Timeout: 20 * time.Second}),
	)
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "peer %s", config.PeerAddress)
	}
	c, err := newClient(config, conn, id, sign)
	if err != nil {
		_ = conn.Close() // the first error says more
		return nil, err
	}
	c.conn = conn
	return c, nil
}

// newClient works over any connection, so that tests need no peer.
func newClient(config Config, conn grpc.ClientConnInterface, id identity.Identity, sign identity.Sign) (*Client, error) {
	c := &Client{config: config, log: config.Log, over: conn, retry: retry{attempts: 8, base: 100 * time.Millisecond, max: 2 * time.Second}}
	return c, c.become(id, sign)
}

// become makes an identity the one that signs from now on.
func (c *Client) become(id identity.Identity, sign identity.Sign) error {
	gw, err := client.Connect(id, client.WithSign(sign), client.WithHash(hash.SHA256), client.WithClientConnection(c.over))
	if err != nil {
		return provenance.Wrap(provenance.Invalid, err, "fabric gateway")
	}
	creator, err := serialise(id)
	if err != nil {
		return err
	}
	network := gw.GetNetwork(c.config.Channel)
	cert, err := identity.CertificateFromPEM(id.Credentials())
	if err != nil {
		return provenance.Wrap(provenance.Invalid, err, "certificate")
	}
	c.as.Store(&session{cert: cert, gateway: gw, network: network, contract: network.GetContract(c.config.Chaincode), sign: sign, creator: creator})
	return nil
}

// Reload reads certificate and key again, for one that was renewed: what is signed from now on is signed with them, and
// what was begun ends as it began. It tells whether they had changed. After an error, such as a key that is not the
// certificate's, nothing has.
func (c *Client) Reload() (changed bool, err error) {
	id, sign, err := readPerson(c.config)
	if err != nil {
		return false, err
	}
	creator, err := serialise(id)
	if err != nil || bytes.Equal(creator, c.as.Load().creator) {
		return false, err
	}
	return true, c.become(id, sign)
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&c.Endorse, 15 * time.Second}, {&c.Submit, 15 * time.Second}, {&c.Commit, 30 * time.Second}, {&c.Evaluate, 10 * time.Second}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Certificate returns the one that signs now.
func (c *Client) Certificate() *x509.Certificate { return c.as.Load().cert }

// Close ends the connection and every call on it.
func (c *Client) Close() error {
	err := c.as.Load().gateway.Close()
	if c.conn != nil {
		if cerr := c.conn.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "close ledger client")
	}
	return nil
}

// readPerson reads a certificate and its key. Both are read as they are at one moment or refused: a renewal switches them.
func readPerson(config Config) (*identity.X509Identity, identity.Sign, error) {
	key := config.Key
	if key == nil {
		var err error
		if key, err = readKey(config.KeyFile); err != nil {
			return nil, nil, err
		}
	}
	text, err := os.ReadFile(config.CertFile)
	if err != nil {
		return nil, nil, provenance.Wrap(provenance.Invalid, err, "certificate")
	}
	cert, err := identity.CertificateFromPEM(text)
	if err != nil {
		return nil, nil, provenance.Wrap(provenance.Invalid, err, "certificate %s", config.CertFile)
	}
	if own, ok := key.(crypto.Signer); ok {
		if public, ok := own.Public().(interface{ Equal(crypto.PublicKey) bool }); ok && !public.Equal(cert.PublicKey) {
			return nil, nil, provenance.Errorf(provenance.Invalid, "private key %s is not that of certificate %s", config.KeyFile, config.CertFile)
		}
	}
	id, err := identity.NewX509Identity(config.MSPID, cert)
	if err != nil {
		return nil, nil, provenance.Wrap(provenance.Invalid, err, "certificate %s", config.CertFile)
	}
	sign, err := identity.NewPrivateKeySign(key)
	if err != nil {
		return nil, nil, provenance.Wrap(provenance.Invalid, err, "private key %s", config.KeyFile)
	}
	return id, sign, nil
}

func readKey(path string) (crypto.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "private key")
	}
	if secretfile.Exposed(info) {
		return nil, provenance.Errorf(provenance.Invalid, "private key %s: mode %04o lets others read it; want 0600", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "private key")
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "private key %s", path)
	}
	return key, nil
}

// parseKey reads the two forms that Fabric's tools write.
func parseKey(text []byte) (crypto.PrivateKey, error) {
	if block, _ := pem.Decode(text); block != nil && block.Type == "EC PRIVATE KEY" {
		return x509.ParseECPrivateKey(block.Bytes)
	}
	return identity.PrivateKeyFromPEM(text)
}
