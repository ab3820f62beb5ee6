package mqtttest

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
)

// mosquittoPorts are the ports of the listeners; 0 means that there is none.
type mosquittoPorts struct{ mqtt, tls, webSocket int }

func (b *MosquittoBroker) file(name string) string { return filepath.Join(b.dir, name) }

// configure chooses ports and writes the configuration.
func (b *MosquittoBroker) configure() error {
	b.ports = mosquittoPorts{mqtt: port.Of(b.tb)}
	if b.settings.ca != nil {
		b.ports.tls = port.Of(b.tb)
	}
	if b.settings.webSocket {
		b.ports.webSocket = port.Of(b.tb)
	}
	lines := append(b.globalLines(), b.listenerLines()...)
	lines = append(lines, b.settings.config...)
	if err := b.writePasswords(); err != nil {
		return err
	}
	if err := b.write("acl", b.settings.acl); err != nil {
		return err
	}
	return b.write("mosquitto.conf", lines)
}

func (b *MosquittoBroker) globalLines() []string {
	lines := []string{
		"log_dest stderr",
		"persistence true",
		"persistence_location " + b.dir + "/",
		"max_queued_messages 0",
		fmt.Sprintf("allow_anonymous %t", len(b.users()) == 0),
	}
	if me, err := user.Current(); err == nil {
		lines = append(lines, "user "+me.Username) // as root, mosquitto would switch to a user that cannot read the files
	}
	if b.settings.maxInflight > 0 {
		lines = append(lines, fmt.Sprintf("max_inflight_messages %d", b.settings.maxInflight))
	}
	if len(b.users()) > 0 {
		lines = append(lines, "password_file "+b.file("passwords"))
	}
	if len(b.settings.acl) > 0 {
		lines = append(lines, "acl_file "+b.file("acl"))
	}
	return lines
}

func (b *MosquittoBroker) listenerLines() []string {
	lines := []string{fmt.Sprintf("listener %d 127.0.0.1", b.ports.mqtt)}
	if ca := b.settings.ca; ca != nil {
		lines = append(lines,
			fmt.Sprintf("listener %d 127.0.0.1", b.ports.tls),
			"cafile "+ca.CertFile,
			"certfile "+ca.ServerCertFile,
			"keyfile "+ca.ServerKeyFile,
			fmt.Sprintf("require_certificate %t", b.settings.clientCerts))
	}
	if b.settings.webSocket {
		lines = append(lines,
			fmt.Sprintf("listener %d 127.0.0.1", b.ports.webSocket),
			"protocol websockets")
	}
	return lines
}

func (b *MosquittoBroker) write(name string, lines []string) error {
	return os.WriteFile(b.file(name), []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

// SetPassword replaces the user of [WithCredentials]. It takes effect at the next Start or
// Reload.
func (b *MosquittoBroker) SetPassword(user, password string) {
	b.tb.Helper()
	b.settings.user, b.settings.password = user, password
	if err := b.writePasswords(); err != nil {
		b.tb.Errorf("mqtttest: mosquitto: %v", err)
	}
}

// users returns the admitted users with their passwords; none admits all clients.
func (b *MosquittoBroker) users() [][2]string {
	if b.settings.user == "" {
		return b.settings.users
	}
	return append([][2]string{{b.settings.user, b.settings.password}}, b.settings.users...)
}

func (b *MosquittoBroker) writePasswords() error {
	var lines []string
	for _, u := range b.users() {
		hash, err := mosquittoHash(u[1])
		if err != nil {
			return err
		}
		lines = append(lines, u[0]+":"+hash)
	}
	if len(lines) == 0 {
		return nil
	}
	return b.write("passwords", lines)
}

// mosquittoHash returns a password in the format of mosquitto's password file: $7$ iterations
// $ salt $ PBKDF2-HMAC-SHA512.
func mosquittoHash(password string) (string, error) {
	const iterations = 101
	salt := make([]byte, 12)
	_, _ = rand.Read(salt) // never fails
	key, err := pbkdf2.Key(sha512.New, password, salt, iterations, 64)
	if err != nil {
		return "", err
	}
	enc := base64.StdEncoding
	return fmt.Sprintf("$7$%d$%s$%s", iterations, enc.EncodeToString(salt), enc.EncodeToString(key)), nil
}
