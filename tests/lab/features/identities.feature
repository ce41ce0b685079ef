Feature: A machine dies, and another one takes over its identity
  With take_over = "identity" a server keeps its host for ever; it is the host that moves to another machine.

  Scenario: Power loss of a machine that runs servers, and its return
    Given a cluster of three machines with servers on each of them
    And identities are taken over
    When a machine that runs servers and doesn't hold the virtual IP loses power
    Then another machine has its identity within 15 seconds
    And its servers run there, and answer on their floating IPs within 30 seconds
    And the API answered with errors for at most 5 seconds
    When it gets power again
    Then it has its identity back
    And every server answers on its floating IP within 120 seconds
