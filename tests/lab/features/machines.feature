Feature: A machine dies
  Three machines, each of them control and compute, over Galera, RabbitMQ, OVN and Ceph. Servers answer on floating IPs
  and write a counter to their disks.

  Background:
    Given a cluster of three machines with servers on each of them

  @quick
  Scenario: Power loss of a machine that runs servers
    When a machine that runs servers and doesn't hold the virtual IP loses power
    Then the fencer has proof that it is off
    And its servers answer on their floating IPs from other machines within 30 seconds
    And the API answered with errors for at most 5 seconds
    When it gets power again
    Then it is an enabled host again and runs none of the servers that moved

  Scenario: Power loss of the machine that holds the virtual IP, under load
    Given clients that create and delete ports without pause
    When the machine that holds the virtual IP loses power
    Then the API answered with errors for at most 5 seconds
    And nothing that was acknowledged is lost
    And its servers answer on their floating IPs from other machines within 30 seconds

  Scenario: Power loss of the machine on which OVN's databases have their leader and the router its gateway
    When the machine of OVN's leaders and of the active gateway loses power
    Then servers on other machines answer on their floating IPs within 15 seconds
    And a network that is made now works within 15 seconds

  Scenario: A second machine dies while servers move
    Given fencing of both machines works
    When a machine that runs servers loses power
    And another one loses power as soon as the first server has moved
    Then no server is started on the last machine before quorum is back
    When the second machine gets power again
    Then every server answers on its floating IP within 120 seconds

  Scenario: Everything loses power
    When all machines lose power at once
    And all machines get power again
    Then every server answers on its floating IP within 120 seconds

  Scenario: Everything loses power, and one machine never comes back
    When all machines lose power at once
    And all machines but one get power again, a few seconds apart
    Then every server answers on its floating IP within 180 seconds

  Scenario: A planned stop is no failure
    When an administrator announces the stop of a machine and it shuts down
    Then it isn't fenced and its servers stay where they were
    When it gets power again
    Then every server answers on its floating IP within 120 seconds
