//go:build !race

package badinput_test

const raceEnabled = false
