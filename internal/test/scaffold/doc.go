// Package scaffold tests the services that kratos-mqtt new makes: it builds, tests and runs them, as
// somebody does who has only Go and make, and adds events to them.
//
// Without SCAFFOLD=all, which make scaffold-test sets, only one service is made of each kind.
package scaffold
