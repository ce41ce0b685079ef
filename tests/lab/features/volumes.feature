Feature: Volumes outlive the machines of their servers

  Scenario: Power loss of a machine whose server has written to a volume
    Given a cluster of three machines with servers on each of them
    And a server away from the virtual IP has written to a volume
    When that server's machine loses power
    Then the fencer has proof that it is off
    And its servers answer on their floating IPs from other machines within 30 seconds
    And that server reads from its volume what it wrote
    When it gets power again
    Then it is an enabled host again and runs none of the servers that moved
