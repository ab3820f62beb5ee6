//go:build tools

// Package gmqtt pins the gmqtt broker that tests start. It is a module of its own, because the
// requirements of that broker are not ours.
package gmqtt

import _ "github.com/DrmagicE/gmqtt/cmd/gmqttd"
