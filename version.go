package tutti

// Release is this module's version. Clients, agents and controllers of one cluster have the same.
const Release = "0.1.0"
