package bridge

import (
	"fmt"
	"io"
)

// Format names the broker, whatever the verb: the fields hold secrets.
func (b *Broker) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "mqtt broker at "+b.Address()) }

// Format says nothing of the settings, which hold secrets.
func (s Settings) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "mqtt settings") }
