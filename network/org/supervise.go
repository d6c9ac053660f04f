package org

// supervisorName is under which a supervisor records itself beside the nodes.
const supervisorName = "supervisor"
