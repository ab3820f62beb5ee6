package mqtt_test

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// Connect with TLS. The files are watched: new ones are used without a restart.
func ExampleWithConnectionConfig_tls() {
	dir, err := os.MkdirTemp("", "tls")
	check(err)
	defer os.RemoveAll(dir)
	authority, server := secureBroker(filepath.Join(dir, "ca.pem")) // stands for the broker of the service
	defer server.Close()

	b := mqttbroker.NewBroker(mqttbroker.WithKratosLogger(discard()), mqttbroker.WithFailFast(true),
		mqttbroker.WithConnectionConfig(&kratosmqttv1.Connection{
			Addresses: []string{server.TLSURL()}, // mqtts://…
			Tls:       &kratosmqttv1.TLS{CaFile: authority},
		}))
	fmt.Println(b.Connect())
	check(b.Disconnect())

	wrong := mqttbroker.NewBroker(mqttbroker.WithKratosLogger(discard()), mqttbroker.WithFailFast(true),
		mqttbroker.WithConnectionConfig(&kratosmqttv1.Connection{Addresses: []string{server.TLSURL()}})) // trusts the system's authorities
	err = wrong.Connect()
	problem, _ := errors.AsType[*event.TLSError](err)
	fmt.Println(problem.Problem)
	// Output:
	// <nil>
	// unknown-authority
}

// secureBroker starts a broker with a certificate for 127.0.0.1, whose authority it writes to a file.
func secureBroker(file string) (authority string, server *testbroker.Broker) {
	web := httptest.NewTLSServer(nil) // has such a certificate
	defer web.Close()
	check(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600))
	server, err := testbroker.Listen(testbroker.WithTLS("127.0.0.1:0", &tls.Config{Certificates: web.TLS.Certificates, MinVersion: tls.VersionTLS12}))
	check(err)
	return file, server
}
