package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/google/uuid"
	"github.com/spf13/pflag"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/reflect/protoregistry"

	cliv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/cli/v1"
	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/profile"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/schema"
)

// session is one run of the program: its terminal and the flags of all commands.
type session struct {
	Terminal
	json        bool
	verbose     bool
	name        string // of the context
	connection  connectionFlags
	operator    cliv1.Operator
	descriptors []string
	own         *cliv1.Context // of the broker that this program runs, in place of any other

	hooks     []any                            // of connections
	connected func(b *mqttbroker.Broker) error // called by connect; may be nil
}

// connectionFlags are the flags that replace values of a context.
type connectionFlags struct {
	addresses                    []string
	clientID, username, password string
	ca, cert, key                string
	protocol, preset             string
}

func (s *session) flags(f *pflag.FlagSet) {
	f.BoolVar(&s.json, "json", false, "write JSON, one value a line")
	f.BoolVarP(&s.verbose, "verbose", "v", false, "write the log of the connection to standard error")
	f.StringVar(&s.name, "context", "", "context to use (default: KRATOS_MQTT_CONTEXT, else the one in use)")
	f.StringSliceVarP(&s.connection.addresses, "broker", "b", nil, "address of the broker, such as mqtt://127.0.0.1:1883; also mqtts, ws and wss")
	f.StringVar(&s.connection.clientID, "client-id", "", "client id (default: a random one)")
	f.StringVarP(&s.connection.username, "username", "u", "", "user name")
	f.StringVar(&s.connection.password, "password-file", "", "file with the password (default: KRATOS_MQTT_PASSWORD)")
	f.StringVar(&s.connection.ca, "ca", "", "file with the certificate authorities to trust")
	f.StringVar(&s.connection.cert, "cert", "", "file with the client certificate")
	f.StringVar(&s.connection.key, "key", "", "file with the key of the client certificate")
	f.StringVar(&s.connection.protocol, "protocol", "", "version of MQTT: auto, 3.1.1 or 5")
	f.StringVar(&s.connection.preset, "preset", "", "known properties of the broker: mosquitto, rabbitmq or nats")
	f.StringVarP(&s.operator.Address, "operator", "o", "", "address of a service with an operator, such as http://127.0.0.1:8000 (default: KRATOS_MQTT_OPERATOR)")
	f.StringVar(&s.operator.TokenFile, "token-file", "", "file with the token of the operator (default: KRATOS_MQTT_OPERATOR_TOKEN)")
	f.StringSliceVarP(&s.descriptors, "descriptors", "d", nil, "descriptor set, .proto file, or folder of .proto files (default: those of the operator)")
}

// contexts returns the folder of the contexts.
func (s *session) contexts() (profile.Folder, error) {
	if folder := s.Getenv("KRATOS_MQTT_HOME"); folder != "" {
		return profile.Open(folder), nil
	}
	folder, err := os.UserConfigDir()
	return profile.Open(filepath.Join(folder, "kratos-mqtt")), err
}

// context returns the context to use: that of --context, else of KRATOS_MQTT_CONTEXT, else the
// one in use, with the values of flags and environment in place of its own.
func (s *session) context() (*cliv1.Context, error) {
	if s.own != nil {
		return s.own, nil
	}
	c := new(cliv1.Context)
	folder, err := s.contexts()
	if err != nil {
		return nil, err
	}
	name := cmp.Or(s.name, s.Getenv("KRATOS_MQTT_CONTEXT"))
	if name == "" {
		if name, err = folder.Current(); err != nil {
			return nil, err
		}
	}
	if name != "" {
		if c, err = folder.Load(name); err != nil {
			return nil, err
		}
	}
	s.override(c)
	return c, nil
}

// override sets what flags and environment name.
func (s *session) override(c *cliv1.Context) {
	if c.Mqtt == nil {
		c.Mqtt = new(kratosmqttv1.Connection)
	}
	m, f := c.Mqtt, &s.connection
	if len(f.addresses) > 0 {
		m.Addresses = f.addresses
	} else if address := s.Getenv("KRATOS_MQTT_BROKER"); address != "" && len(m.Addresses) == 0 {
		m.Addresses = strings.Split(address, ",")
	}
	set(&m.ClientId, f.clientID)
	set(&m.Username, f.username)
	set(&m.Protocol, f.protocol)
	set(&m.Preset, f.preset)
	if password := s.Getenv("KRATOS_MQTT_PASSWORD"); password != "" {
		m.Password, m.PasswordFile = password, ""
	}
	if f.password != "" { // the client reads it
		m.Password, m.PasswordFile = "", f.password
	}
	if f.ca != "" || f.cert != "" || f.key != "" {
		if m.Tls == nil {
			m.Tls = new(kratosmqttv1.TLS)
		}
		set(&m.Tls.CaFile, f.ca)
		set(&m.Tls.CertFile, f.cert)
		set(&m.Tls.KeyFile, f.key)
	}
	address := s.operator.Address
	if c.GetOperator().GetAddress() == "" {
		address = cmp.Or(address, s.Getenv("KRATOS_MQTT_OPERATOR"))
	}
	if address != "" || s.operator.TokenFile != "" {
		if c.Operator == nil {
			c.Operator = new(cliv1.Operator)
		}
		set(&c.Operator.Address, address)
		set(&c.Operator.TokenFile, s.operator.TokenFile)
	}
	c.Descriptors = append(s.descriptors, c.Descriptors...)
}

// errNoBroker is the error of a command that has to connect and does not know where to.
var errNoBroker = errors.New("no broker: want --broker URL, a context (kratos-mqtt context add NAME --broker URL), or KRATOS_MQTT_BROKER")

// connect returns a broker that is connected, for messages with a codec, and a function that
// ends the connection.
func (s *session) connect(ctx context.Context, opts ...broker.Option) (*mqttbroker.Broker, func(), error) {
	opts, err := s.options(opts)
	if err != nil {
		return nil, nil, err
	}
	b := mqttbroker.NewBroker(opts...)
	if err := b.Init(); err != nil {
		return nil, nil, err
	}
	if err := b.Start(ctx); err != nil {
		return nil, nil, err
	}
	disconnect := func() { _ = b.Disconnect() }
	if s.connected != nil {
		if err := s.connected(b); err != nil {
			disconnect()
			return nil, nil, err
		}
	}
	return b, disconnect, nil
}

// publisher is connect for payloads that are sent as they are.
func (s *session) publisher(ctx context.Context, opts ...broker.Option) (*mqttbroker.Publisher, func(), error) {
	opts, err := s.options(opts)
	if err != nil {
		return nil, nil, err
	}
	p, err := mqttbroker.NewPublisher(opts...)
	if err != nil {
		return nil, nil, err
	}
	if err := p.Start(ctx); err != nil {
		return nil, nil, err
	}
	return p, func() { _ = p.Stop(context.WithoutCancel(ctx)) }, nil
}

// options returns the options of a connection to the broker, and more behind them. The client id
// of a context is only the beginning of one, unless it is a flag: a second command, or a service
// with that id, would lose its connection. No session is left at the broker.
func (s *session) options(more []broker.Option) ([]broker.Option, error) {
	c, err := s.context()
	if err != nil {
		return nil, err
	}
	if len(c.Mqtt.GetAddresses()) == 0 {
		return nil, errNoBroker
	}
	if c.Mqtt.ClientId != "" && s.connection.clientID == "" {
		c.Mqtt.ClientId += "-" + uuid.NewString()[:8]
	}
	return append([]broker.Option{
		mqttbroker.WithConnectionConfig(c.Mqtt), mqttbroker.WithCleanSession(true), mqttbroker.WithKratosLogger(s.logger()), mqttbroker.WithFailFast(true),
		mqttbroker.WithHooks(s.hooks...),
	}, more...), nil
}

// logger returns a logger for the connection. Without --verbose it is silent: errors are
// returned.
func (s *session) logger() log.Logger {
	if s.verbose {
		return mqttbroker.SafeLogger(log.NewStdLogger(s.Err))
	}
	return log.NewFilter(log.NewStdLogger(s.Err), log.FilterLevel(log.LevelFatal+1))
}

// files returns the descriptors of messages: those of the context, else those of its operator,
// and those that this program has. Without a reply of the operator it warns.
func (s *session) files(ctx context.Context, c *cliv1.Context) (*protoregistry.Files, error) {
	if len(c.Descriptors) == 0 && c.GetOperator().GetAddress() != "" {
		return s.served(ctx, c)
	}
	files, err := schema.Load(ctx, c.Descriptors...)
	if err != nil {
		return nil, fmt.Errorf("%w; pass --descriptors with a descriptor set, a .proto file or a folder of them", err)
	}
	return files, nil
}

// served returns the descriptors of the service that the operator of a context belongs to.
func (s *session) served(ctx context.Context, c *cliv1.Context) (*protoregistry.Files, error) {
	at, err := s.serviceOf(c)
	if err != nil {
		return nil, err
	}
	reply, err := at.Operator.GetDescriptors(ctx, new(operatorv1.GetDescriptorsRequest))
	if err != nil { // the service may be down, which is when its messages are looked at
		fmt.Fprintf(s.Err, "warning: no descriptors from the operator: %s; pass --descriptors to do without it\n", explained(err))
		return schema.Load(ctx)
	}
	files, err := operator.OpenDescriptors(reply.GetDescriptorSet())
	if err != nil {
		return nil, fmt.Errorf("descriptors of the operator: %w", err)
	}
	return files, nil
}

func set(to *string, value string) {
	if value != "" {
		*to = value
	}
}
