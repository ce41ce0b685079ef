Feature: A network is cut
  Scenario Outline: The <network> network of a machine is cut, and healed
    Given a cluster of three machines with servers on each of them
    When the <network> network of a machine <role> is cut
    Then the API answered with errors for at most 15 seconds
    And every server that can be reached answers on its floating IP within 60 seconds
    When the network has been away for 40 seconds and is healed
    Then the machine is an enabled host again
    And every server answers on its floating IP within 120 seconds

    @quick
    Examples: quick
      | network | role                          |
      | mgmt    | that holds the virtual IP     |

    Examples: all
      | network | role                          |
      | mgmt    | that doesn't hold it          |
      | storage | that holds the virtual IP     |
      | storage | that doesn't hold it          |
      | tenant  | that holds the virtual IP     |
      | tenant  | that doesn't hold it          |
