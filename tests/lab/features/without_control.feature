Feature: Machines that only compute
  They are members of the cluster by pacemaker_remote.

  Background:
    Given a cluster of one control machine and two that only compute

  @remote
  Scenario: Power loss of a machine that only computes, and its return
    When a machine that only computes and runs servers loses power
    Then the fencer has proof that it is off
    And its servers answer on their floating IPs from other machines within 30 seconds
    When it gets power again
    Then it is an enabled host again and runs none of the servers that moved

  @remote
  Scenario: A planned stop of a machine that only computes is no failure
    When an administrator announces the stop of a machine that only computes and it shuts down
    Then it isn't fenced and its servers stay where they were
    When it gets power again
    Then it is an enabled host again
    And every server answers on its floating IP within 120 seconds

  @remote
  Scenario: A machine that only computes reboots
    When a machine that only computes reboots
    Then it isn't fenced and its servers stay where they were
    And it is an enabled host again
    And every server answers on its floating IP within 120 seconds
